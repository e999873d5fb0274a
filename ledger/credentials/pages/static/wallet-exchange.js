// What the wallet says to issuers and verifiers: OpenID4VCI 1.0 (pre-authorised code), OpenID4VP 1.0 (direct_post).

import { base64url, canonical, opened, parsed, presentation, shown, token, unbase64url } from './wallet-proofs.js';

const GRANT = 'urn:ietf:params:oauth:grant-type:pre-authorized_code';
const FORMATS = ['ldp_vc', 'dc+sd-jwt'];
const ANSWER_MAX = 1048576; // characters of an answer; a longer one is refused
const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

function address(text) {
  const found = new URL(text);
  const plain = found.protocol === 'http:' && LOOPBACK.includes(found.hostname);
  if (found.username || !(found.protocol === 'https:' || plain)) throw new Error('Addresses are https.');
  return found;
}

// No cookie, no referrer, nothing followed elsewhere.
async function asked(where, options = {}) {
  const answer = await fetch(address(where), {
    credentials: 'omit', referrerPolicy: 'no-referrer', redirect: 'error', cache: 'no-store', ...options,
  });
  const text = await answer.text();
  if (text.length > ANSWER_MAX) throw new Error('The answer is too long.');
  if (answer.ok) return text;
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // Not in the standard's form: the status alone is said.
  }
  throw new Error(`They said no: ${told.error_description || told.error || answer.status}.`);
}

const form = (values) => ({ method: 'POST', body: new URLSearchParams(values) });

function parameters(link) {
  const query = link.trim().split('?').slice(1).join('?');
  if (!query) throw new Error('This is not a link of an offer or a request.');
  return new URLSearchParams(query);
}

// An offer in a link, or where the link says it is.
export async function offer(link) {
  const found = parameters(link);
  const text = found.get('credential_offer') ?? (await asked(found.get('credential_offer_uri') ?? ''));
  const said = JSON.parse(text);
  const grant = said.grants?.[GRANT];
  if (!grant?.['pre-authorized_code']) throw new Error('This offer needs another wallet.');
  return {
    issuer: said.credential_issuer,
    configuration: said.credential_configuration_ids[0],
    code: grant['pre-authorized_code'],
    secret: Boolean(grant.tx_code),
  };
}

function wellKnown(issuer, name) {
  const found = address(issuer);
  return `${found.origin}/.well-known/${name}${found.pathname.replace(/\/$/, '')}`;
}

function about(kept, holder) {
  if (kept.format === 'ldp_vc') return kept.credential.credentialSubject?.id === holder.did;
  return opened(kept.credential).payload.cnf?.jwk?.x === base64url(holder.x);
}

// Takes up an offer. keep: async, called with what was received before the issuer hears that it was kept.
export async function receive(found, secret, holder, keep) {
  const metadata = JSON.parse(await asked(wellKnown(found.issuer, 'openid-credential-issuer')));
  const kind = metadata.credential_configurations_supported?.[found.configuration];
  if (metadata.credential_issuer !== found.issuer || !FORMATS.includes(kind?.format)) {
    throw new Error('This wallet keeps credentials as Data Integrity and as SD-JWT.');
  }
  const server = metadata.authorization_servers?.[0] ?? found.issuer;
  const { token_endpoint: tokens } = JSON.parse(await asked(wellKnown(server, 'oauth-authorization-server')));
  const grant = { grant_type: GRANT, 'pre-authorized_code': found.code, ...(found.secret ? { tx_code: secret } : {}) };
  const { access_token: access } = JSON.parse(await asked(tokens, form(grant)));
  const { c_nonce: nonce } = JSON.parse(await asked(metadata.nonce_endpoint, { method: 'POST' }));
  const payload = { aud: found.issuer, iat: Math.floor(Date.now() / 1000), nonce };
  const proof = await token({ typ: 'openid4vci-proof+jwt', kid: holder.method }, payload, holder);
  const sent = (body) => ({
    method: 'POST',
    headers: { authorization: `Bearer ${access}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const wanted = { credential_configuration_id: found.configuration, proofs: { jwt: [proof] } };
  const given = JSON.parse(await asked(metadata.credential_endpoint, sent(wanted)));
  const kept = { format: kind.format, credential: given.credentials[0].credential, issuer: found.issuer, received: Date.now() };
  const name = metadata.display?.[0]?.name;
  const tell = (event) => asked(metadata.notification_endpoint, sent({ notification_id: given.notification_id, event }))
    .catch(() => undefined); // whether the issuer hears it changes nothing here
  if (!about(kept, holder)) {
    await tell('credential_failure');
    throw new Error('This credential is about somebody else\u2019s key.');
  }
  await keep({ ...kept, name });
  await tell('credential_accepted');
}

// What a verifier asks: { address, client, nonce, state, query, name, purpose }.
export async function request(link) {
  const found = parameters(link);
  const client = found.get('client_id');
  let said = Object.fromEntries(found);
  if (found.has('request_uri')) {
    const [head, body, signature] = (await asked(found.get('request_uri'))).trim().split('.');
    if (signature !== '' || parsed(head).alg !== 'none') throw new Error('A request like this one is not signed.');
    said = parsed(body);
  } else {
    said.dcql_query = JSON.parse(said.dcql_query);
    said.client_metadata = JSON.parse(said.client_metadata ?? '{}');
  }
  if (said.response_mode !== 'direct_post' || said.response_type !== 'vp_token' || said.transaction_data) {
    throw new Error('This wallet shows credentials, and agrees to nothing else.');
  }
  if (said.client_id !== client || client !== `redirect_uri:${said.response_uri}` || !said.nonce) {
    throw new Error('Who asks is not who gets the answer.');
  }
  return {
    address: address(said.response_uri).href,
    client,
    nonce: said.nonce,
    state: said.state ?? '',
    query: said.dcql_query,
    name: said.client_metadata?.client_name ?? '',
    purpose: said.client_metadata?.vigil_purpose ?? '',
  };
}

// "valid", "refused" or "unknown" when the verifier signed what it asked and how it went, else "".
async function acknowledged(raw, found) {
  if (!raw) return '';
  const [head, body, signature] = raw.split('.');
  const said = parsed(body);
  const answers = said.nonce === found.nonce && said.client_id === found.client;
  if (!answers || canonical(said.asked) !== canonical(found.query)) return '';
  try {
    const key = await crypto.subtle.importKey('jwk', parsed(head).jwk, { name: 'Ed25519' }, false, ['verify']);
    const bytes = new TextEncoder().encode(`${head}.${body}`);
    return (await crypto.subtle.verify({ name: 'Ed25519' }, key, unbase64url(signature), bytes)) ? said.outcome : '';
  } catch {
    return ''; // this browser has no Ed25519: the signature is kept, and not believed
  }
}

async function sent(found, values) {
  const answer = JSON.parse(await asked(found.address, form({ ...values, state: found.state })));
  const signed = answer.acknowledgement ?? '';
  return { outcome: await acknowledged(signed, found), acknowledgement: signed, leads: answer.redirect_uri ?? '' };
}

export async function present(found, showing, holder) {
  const to = { nonce: found.nonce, audience: found.client, now: Date.now() };
  const answers = {};
  for (const { query, kept, claims } of showing) {
    answers[query] = [
      kept.format === 'ldp_vc'
        ? await presentation(kept.credential, holder, to)
        : await shown(kept.credential, claims.map((each) => each.path[0]), holder, to),
    ];
  }
  return sent(found, { vp_token: JSON.stringify(answers) });
}

export async function decline(found) {
  return sent(found, { error: 'access_denied' });
}
