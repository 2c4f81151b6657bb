-- What each receiver of news was told: up to when, by kind, and of which troubles that still go on.

CREATE TABLE notified (
    receiver VARCHAR NOT NULL,
    news VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    told_up_to TIMESTAMPTZ NOT NULL
);
