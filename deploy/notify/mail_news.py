#!/usr/bin/env python3
"""Send news of image-history by e-mail: mail_news.py FROM TO..., with the news as JSON on standard input.

The mail server is that of SMTP_HOST (default localhost) and SMTP_PORT (default 25); with SMTP_USER and SMTP_PASSWORD
the script logs in after STARTTLS. It needs only Python's standard library.
"""

import json
import os
import smtplib
import ssl
import sys
from email.message import EmailMessage
from html import unescape


def letter(news: dict[str, str], sender: str, receivers: list[str]) -> EmailMessage:
    """Return the news as an e-mail: the headline as subject, the other lines as text, all of it attached as JSON."""
    # The text is written for Slack, where &, < and > are markup.
    headline, *lines = unescape(news["text"]).splitlines()
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = headline, sender, ", ".join(receivers)
    mail.set_content("\n".join([*lines, ""]))
    mail.add_attachment(
        json.dumps(news, indent=2).encode(), maintype="application", subtype="json", filename="news.json"
    )
    return mail


def main(sender: str, *receivers: str) -> None:
    """Send one e-mail."""
    mail = letter(json.load(sys.stdin), sender, list(receivers))
    host, port = os.environ.get("SMTP_HOST", "localhost"), int(os.environ.get("SMTP_PORT", "25"))
    with smtplib.SMTP(host, port, timeout=20) as server:
        if "SMTP_USER" in os.environ:
            server.starttls(context=ssl.create_default_context())
            server.login(os.environ["SMTP_USER"], os.environ["SMTP_PASSWORD"])
        server.send_message(mail)


if __name__ == "__main__":
    main(*sys.argv[1:])
