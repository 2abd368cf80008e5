"""TLS between threads: handshakes and data without the GIL, and what OpenSSL calls back."""

import hashlib
import socket
import ssl
import threading

CIPHERS = "AECDH-AES256-SHA:@SECLEVEL=0"  # without a certificate


def context(protocol, messages):
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    made._msg_callback = lambda *_: messages.append(0)
    return made


def serve(ours, messages):
    server = context(ssl.PROTOCOL_TLS_SERVER, messages)
    server.sni_callback = lambda *_: messages.append(0)
    with server.wrap_socket(ours, server_side=True) as tls:
        while data := tls.recv(1 << 16):
            tls.sendall(data)
        tls.unwrap()


def ask(name, results):
    ours, its = socket.socketpair()
    messages, digest = [], hashlib.sha256()
    server = threading.Thread(target=serve, args=(its, messages))
    server.start()
    client = context(ssl.PROTOCOL_TLS_CLIENT, messages)
    with client.wrap_socket(ours, server_hostname="localhost") as tls:
        for n in range(20):
            tls.sendall(bytes([n]) * 50_000)
            left = 50_000
            while left:
                data = tls.recv(left)
                digest.update(data)
                left -= len(data)
        tls.unwrap()
    server.join()
    results[name] = (digest.hexdigest()[:8], len(messages) > 20)


results = {}
threads = [threading.Thread(target=ask, args=(name, results)) for name in range(4)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(sorted(results.items()))
