// Which credentials a verifier asks for (DCQL, OpenID4VP 1.0 §6 and §7), as exchange/dcql.py has it.

import { opened } from './wallet-proofs.js';

const OURS = 'https://vigil.example/credentials#';
const BADGES = 'https://purl.imsglobal.org/spec/vc/ob/vocab.html#';
const KNOWN = {
  VerifiableCredential: 'https://www.w3.org/2018/credentials#',
  OpenBadgeCredential: BADGES,
  AchievementCredential: BADGES,
};

const iri = (name) => (name.includes(':') ? name : (KNOWN[name] ?? OURS) + name);
const list = (value) => (Array.isArray(value) ? value : value === undefined ? [] : [value]);

// What a credential says: { type, claims } for people and for queries.
export function said(kept) {
  if (kept.format === 'dc+sd-jwt') {
    const { payload, disclosures } = opened(kept.credential);
    const hidden = Object.fromEntries(disclosures.filter((each) => each.name).map((each) => [each.name, each.value]));
    const { _sd, _sd_alg, ...open } = payload;
    return { type: String(payload.vct).split(/[:#]/).at(-1), claims: { ...open, ...hidden } };
  }
  return { type: String(list(kept.credential.type).at(-1)), claims: kept.credential };
}

// Names of claims that a credential in parts can keep back.
export function concealable(kept) {
  return opened(kept.credential).disclosures.map((each) => each.name);
}

function at(claims, path) {
  let found = [claims];
  for (const step of path) {
    found = found.flatMap((one) => {
      if (step === null) return Array.isArray(one) ? one : [];
      if (typeof step === 'number') return Array.isArray(one) && step < one.length ? [one[step]] : [];
      return one && typeof one === 'object' && !Array.isArray(one) && Object.hasOwn(one, step) ? [one[step]] : [];
    });
  }
  return found;
}

function has(claim, claims) {
  const found = at(claims, claim.path);
  return claim.values ? found.some((one) => claim.values.includes(one)) : found.length > 0;
}

// The claims that would be shown to one query, undefined when it is not what is asked for.
function fits(query, kept) {
  if (query.format !== kept.format) return undefined;
  const { claims } = said(kept);
  const meta = query.meta ?? {};
  if (query.format === 'dc+sd-jwt') {
    if (!list(meta.vct_values).includes(claims.vct)) return undefined;
  } else {
    const types = list(claims.type).map(iri);
    if (!list(meta.type_values).some((every) => every.every((each) => types.includes(each)))) return undefined;
  }
  const asked = query.claims ?? [];
  const sets = query.claim_sets?.map((names) => names.map((name) => asked.find((each) => each.id === name))) ?? [asked];
  return sets.find((each) => each.every((claim) => claim && has(claim, claims)));
}

// What would be shown: [{ query, kept, claims }]. Throws when the wallet does not have all that is asked for.
export function match(query, wallet) {
  const found = new Map();
  for (const kept of wallet) {
    for (const each of query.credentials) {
      const claims = fits(each, kept);
      if (claims) found.set(each.id, { query: each.id, kept, claims });
    }
  }
  let names = query.credentials.map((each) => each.id);
  if (query.credential_sets) {
    names = query.credential_sets
      .filter((set) => set.required !== false)
      .flatMap((set) => set.options.find((option) => option.every((name) => found.has(name))) ?? [undefined]);
  }
  if (names.some((name) => !found.has(name))) throw new Error('Your wallet does not have all that is asked for.');
  return [...new Set(names)].map((name) => found.get(name));
}
