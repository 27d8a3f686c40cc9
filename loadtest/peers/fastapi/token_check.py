"""Tokens, by Weir's key set or by the secret when there is none."""

import json
import os
from pathlib import Path
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

ISSUER, AUDIENCE = os.environ["PEER_ISSUER"], os.environ["PEER_AUDIENCE"]


def read_key() -> tuple[object, str]:
    file = os.environ.get("PEER_JWKS")
    if file:
        key = jwt.PyJWKSet.from_dict(json.loads(Path(file).read_text())).keys[0]
        return key.key, "EdDSA"
    return os.environ["PEER_SECRET"].encode(), "HS256"


KEY, ALGORITHM = read_key()
bearer = HTTPBearer(auto_error=False)


async def account(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    """The account a valid token with the scope speaks for."""
    try:
        if given is None:
            raise jwt.InvalidTokenError
        claims = jwt.decode(
            given.credentials, KEY, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, leeway=30,
            options={"require": ["exp", "iss", "aud", "account_id"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "the token is not valid", {"WWW-Authenticate": "Bearer"}) from None
    if "events:write" not in claims.get("scope", "").split():
        raise HTTPException(403, "the scope is missing")
    return claims["account_id"]


Account = Annotated[str, Depends(account)]
