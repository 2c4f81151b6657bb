-- What was sent to each receiver of news: up to when, for each kind of news, and about which ongoing troubles.

CREATE TABLE notified (
    receiver VARCHAR NOT NULL,
    news VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    told_up_to TIMESTAMPTZ NOT NULL
);
