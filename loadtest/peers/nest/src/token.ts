// Tokens, by Weir's key set or by the secret when there is none. fast-jwt and not @nestjs/jwt: that one knows no EdDSA, and
// with its secret given as a string it makes a key for every token anew, at three times the price.
import { CanActivate, createParamDecorator, ExecutionContext, ForbiddenException, Injectable, UnauthorizedException } from '@nestjs/common';
import { createVerifier } from 'fast-jwt';
import type { FastifyRequest } from 'fastify';
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';

type Claims = { account_id?: string; scope?: string };
type WithAccount = FastifyRequest & { account: string };

function readKey(): { key: string | Buffer; algorithms: ('EdDSA' | 'HS256')[] } {
  const file = process.env.PEER_JWKS;
  if (!file) return { key: Buffer.from(process.env.PEER_SECRET ?? ''), algorithms: ['HS256'] };
  const jwk = JSON.parse(readFileSync(file, 'utf8')).keys[0];
  const key = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  return { key, algorithms: ['EdDSA'] };
}

const verify = createVerifier({
  ...readKey(),
  allowedIss: process.env.PEER_ISSUER,
  allowedAud: process.env.PEER_AUDIENCE,
  requiredClaims: ['exp', 'iss', 'aud', 'account_id'],
  clockTolerance: 30_000,
}) as (token: string) => Claims;

@Injectable()
export class TokenGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<WithAccount>();
    const [scheme, token] = (request.headers.authorization ?? '').split(' ');
    let claims: Claims;
    try {
      if (scheme !== 'Bearer') throw new Error('no bearer token');
      claims = verify(token);
    } catch {
      throw new UnauthorizedException('the token is not valid');
    }
    if (!claims.scope?.split(' ').includes('events:write')) throw new ForbiddenException('the scope is missing');
    request.account = claims.account_id as string;
    return true;
  }
}

export const Account = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<WithAccount>().account,
);
