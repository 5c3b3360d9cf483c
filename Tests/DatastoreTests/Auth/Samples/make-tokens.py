"""Makes tokens.json: keys, and tokens signed by another implementation (PyJWT and cryptography; needs nothing else of this repository).

    pip install PyJWT cryptography && python make-tokens.py > tokens.json
"""

import datetime
import json
import sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

PEM, PLAIN = serialization.Encoding.PEM, serialization.NoEncryption()
FAR = 4102444800  # 2100


def private(key, form):
    return key.private_bytes(PEM, form, PLAIN).decode()


def public(key, form=serialization.PublicFormat.SubjectPublicKeyInfo):
    return key.public_key().public_bytes(PEM, form).decode()


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
    now = datetime.datetime(2026, 1, 1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=36500))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(key, algorithm).public_bytes(PEM).decode()


def forms(key, old=True):
    result = {"private": private(key, serialization.PrivateFormat.PKCS8), "public": public(key), "certificate": certificate(key)}
    if old:
        result["traditional"] = private(key, serialization.PrivateFormat.TraditionalOpenSSL)
    return result


keys = {
    "rsa": rsa.generate_private_key(65537, 2048), "rsa2": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()), "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()), "ed25519": ed25519.Ed25519PrivateKey.generate()}
texts = {name: forms(key, name != "ed25519") for name, key in keys.items()}
texts["rsa"]["public1"] = public(keys["rsa"], serialization.PublicFormat.PKCS1)
secret = "a secret that is long enough for every hash there is, line end included: it is part of the key\n"

of = {"RS": "rsa", "PS": "rsa", "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed25519"}
tokens = {}
for method in [f"{kind}{bits}" for kind in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)] + ["EdDSA"]:
    key = of.get(method) or of.get(method[:2])
    tokens[method] = {"key": key, "token": jwt.encode(
        {"username": "älice <&>", "revision": 7, "exp": FAR}, keys[key] if key else secret, algorithm=method)}


def odd(claims, algorithm="HS256", key=secret, headers=None):
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


usual = {"username": "a", "revision": 3}
good = {
    "no end": odd(usual), "end of zero": odd({**usual, "exp": 0}), "fractions": odd({**usual, "exp": FAR + 0.5, "revision": 3.75}),
    "began": odd({**usual, "nbf": 1}), "other claims": odd({**usual, "aud": ["x"], "iss": "y", "iat": FAR}),
    "other headers": odd(usual, headers={"kid": "1", "typ": "at+jwt"})}
bad = {
    "expired": odd({**usual, "exp": 1_000_000_000}), "not yet": odd({**usual, "nbf": FAR}), "text as end": odd({**usual, "exp": "4102444800"}),
    "null as end": odd({**usual, "exp": None}), "no name": odd({"revision": 3}), "number as name": odd({"username": 1, "revision": 3}),
    "no revision": odd({"username": "a"}), "text as revision": odd({"username": "a", "revision": "3"}),
    "negative revision": odd({"username": "a", "revision": -1}), "other hash": odd(usual, "HS384"),
    "other secret": odd(usual, key=secret.strip()), "no signature": jwt.encode(usual, None, algorithm="none"),
    "longer secret": odd(usual, key=secret + "x")}
json.dump({"keys": texts, "secret": secret, "tokens": tokens, "good": good, "bad": bad}, sys.stdout, indent=1, ensure_ascii=False)
print()
