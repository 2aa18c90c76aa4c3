"""A mail server (aiosmtpd) that writes each mail as JSON into a folder.

python3 smtp_server.py plain|starttls|implicit CERTIFICATE KEY FOLDER
"""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, certificate, key, folder = sys.argv[1:]
count = 0


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown@"):
            return "550 5.1.1 no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        count += 1
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        transport = server.transport
        facts = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": transport.get_extra_info("ssl_object") is not None,
            "login": bool(session.authenticated),
            "subject": mail["subject"],
            "sender": str(mail["from"]),
            "auto": mail["auto-submitted"],
            "id": mail["message-id"],
            "text": mail.get_body().get_content(),
        }
        path = os.path.join(folder, f"{count:04}")
        with open(path + ".new", "w") as file:
            json.dump(facts, file)
        os.rename(path + ".new", path + ".json")
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    is_right = data.login == b"portolan" and data.password == b"canary-mail-9z"
    return AuthResult(success=is_right, handled=False)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    starts_tls = mode == "starttls"

    def session():
        return SMTP(
            Handler(),
            hostname="mx.test",
            tls_context=context if starts_tls else None,
            require_starttls=starts_tls,
            authenticator=login,
            auth_required=mode != "plain",
            auth_require_tls=starts_tls,
        )

    loop = asyncio.get_running_loop()
    wrapped = context if mode == "implicit" else None
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
