"""Ed25519 signatures, checked with integers and SHA-512 alone (RFC 8032, sections 5.1 and 6).

Only to check them: that needs no secret, so that it does not matter how long it takes for which value. Signing is for a
library that is made for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
#: What stands before the 32 bytes of a public key in DER (RFC 8410).
_PUBLIC_KEY = bytes.fromhex("302a300506032b6570032100")
#: A point in extended coordinates (X, Y, Z, T), with x = X/Z, y = Y/Z and xy = T/Z.
_Point = tuple[int, int, int, int]


def is_signed_by(public_key: str, text: str, signature: str) -> bool:
    """Tell whether a text bears the signature (base64) of the owner of a public key (PEM).

    Raises
    ------
    ValueError
        If the public key is none.
    """
    key = _key_of(public_key)
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return False
    point, commitment, scalar = _point(key), _point(given[:32]), int.from_bytes(given[32:], "little")
    if len(given) != 64 or point is None or commitment is None or scalar >= _ORDER:
        return False
    hashed = hashlib.sha512(given[:32] + key + text.encode("utf-8", "surrogatepass")).digest()
    challenge = int.from_bytes(hashed, "little") % _ORDER
    left, right = _times(scalar, _BASE), _sum(commitment, _times(challenge, point))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def _key_of(public_key: str) -> bytes:
    lines = [line.strip() for line in public_key.strip().splitlines()]
    if len(lines) >= 3 and lines[0] == "-----BEGIN PUBLIC KEY-----" and lines[-1] == "-----END PUBLIC KEY-----":
        found = base64.b64decode("".join(lines[1:-1]))
        if found.startswith(_PUBLIC_KEY) and len(found) == len(_PUBLIC_KEY) + 32:
            return found[len(_PUBLIC_KEY) :]
    raise ValueError("no public key: a PEM file of Ed25519 is expected, as `openssl pkey -pubout` writes it")


def _point(encoded: bytes) -> _Point | None:
    """Read a point; None if the bytes stand for none."""
    y = int.from_bytes(encoded, "little")
    is_odd, y = y >> 255, y & (1 << 255) - 1
    if len(encoded) != 32 or y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and is_odd):
        return None
    x = x if x & 1 == is_odd else _P - x
    return x, y, 1, x * y % _P


def _sum(one: _Point, other: _Point) -> _Point:
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % _P, (one[1] + one[0]) * (other[1] + other[0]) % _P
    c, d = 2 * one[3] * other[3] * _D % _P, 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(factor: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _sum(total, point)
        point, factor = _sum(point, point), factor >> 1
    return total


_BASE: _Point = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little")) or (0, 1, 1, 0)
