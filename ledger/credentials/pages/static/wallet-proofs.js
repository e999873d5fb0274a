// What the wallet signs: canonical JSON (RFC 8785), Data Integrity presentations, compact tokens, SD-JWT with a bound key.

import { base58 } from './wallet-keys.js';

const encoder = new TextEncoder();

// The one text of a value. JSON.stringify writes texts and numbers as RFC 8785 wants them; members are sorted by UTF-16 units.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value && typeof value === 'object') {
    const members = Object.keys(value).sort();
    return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

export function base64url(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

export function unbase64url(text) {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
}

export function parsed(text) {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(unbase64url(text)));
}

async function sha256(text) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(text)));
}

export async function token(header, payload, holder) {
  const said = [{ alg: holder.alg, ...header }, payload].map((part) => base64url(encoder.encode(canonical(part)))).join('.');
  return `${said}.${base64url(await holder.sign(encoder.encode(said)))}`;
}

// A presentation of one whole credential, for one question of one verifier.
export async function presentation(credential, holder, { nonce, audience, now }) {
  const document = {
    '@context': ['https://www.w3.org/ns/credentials/v2'],
    type: ['VerifiablePresentation'],
    holder: holder.did,
    verifiableCredential: [credential],
  };
  const options = {
    '@context': document['@context'],
    type: 'DataIntegrityProof',
    cryptosuite: holder.suite,
    created: new Date(now).toISOString().replace(/\.\d+Z$/, 'Z'),
    verificationMethod: holder.method,
    proofPurpose: 'authentication',
    challenge: nonce,
    domain: audience,
  };
  const hashed = new Uint8Array([...(await sha256(canonical(options))), ...(await sha256(canonical(document)))]);
  return { ...document, proof: { ...options, proofValue: base58(await holder.sign(hashed)) } };
}

// The parts of an SD-JWT: { payload, disclosures: [{ text, name, value }] }. Claims are hidden at the top alone, as our issuers do.
export function opened(text) {
  const [first, ...rest] = text.split('~');
  const disclosures = rest.slice(0, -1).map((each) => {
    const found = parsed(each);
    return { text: each, name: found.length === 3 ? found[1] : undefined, value: found.at(-1) };
  });
  return { first, payload: parsed(first.split('.')[1]), disclosures };
}

// An SD-JWT with these claims shown and no others.
export async function shown(text, names, holder, { nonce, audience, now }) {
  const { first, disclosures } = opened(text);
  const kept = disclosures.filter((each) => names.includes(each.name)).map((each) => each.text);
  const said = [first, ...kept, ''].join('~');
  const payload = { iat: Math.floor(now / 1000), nonce, aud: audience, sd_hash: base64url(await sha256(said)) };
  return said + (await token({ typ: 'kb+jwt' }, payload, holder));
}
