// The wallet's key and what it keeps, in this browser's IndexedDB. The private key cannot be read, not even by this page.

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const STORE = 'wallet';

// A promise of an IndexedDB request's result.
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function database() {
  const opening = indexedDB.open('vigil-credentials', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return settled(opening);
}

export async function load(name) {
  const db = await database();
  try {
    return await settled(db.transaction(STORE).objectStore(STORE).get(name));
  } finally {
    db.close();
  }
}

// Resolves when it is on disk: what an issuer handed out is acknowledged after that.
export async function save(name, value) {
  const db = await database();
  try {
    const transaction = db.transaction(STORE, 'readwrite', { durability: 'strict' });
    const written = new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    transaction.objectStore(STORE).put(value, name);
    await written;
  } finally {
    db.close();
  }
}

// Multibase base58btc.
export function base58(bytes) {
  let number = 0n;
  for (const byte of bytes) number = number * 256n + BigInt(byte);
  let text = '';
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  for (const byte of bytes) {
    if (byte) break;
    text = '1' + text;
  }
  return 'z' + text;
}

async function made() {
  try {
    return await crypto.subtle.generateKey({ name: 'Ed25519' }, false, ['sign', 'verify']);
  } catch {
    // A browser without Ed25519: P-256, which every one has.
    return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  }
}

// The holder: { did, method, x (bytes), alg, suite, sign(bytes) -> bytes }. The key is made when there is none.
export async function holder() {
  let pair = await load('key');
  if (!pair) {
    await navigator.storage?.persist?.();
    pair = await made();
    await save('key', pair);
  }
  const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  const edwards = pair.publicKey.algorithm.name === 'Ed25519';
  const coded = edwards ? [0xed, 0x01, ...raw] : [0x80, 0x24, 2 + (raw[64] & 1), ...raw.slice(1, 33)];
  const name = base58(Uint8Array.from(coded));
  const how = edwards ? { name: 'Ed25519' } : { name: 'ECDSA', hash: 'SHA-256' };
  return {
    did: `did:key:${name}`,
    method: `did:key:${name}#${name}`,
    x: edwards ? raw : raw.slice(1, 33),
    alg: edwards ? 'EdDSA' : 'ES256',
    suite: edwards ? 'eddsa-jcs-2022' : 'ecdsa-jcs-2019',
    sign: async (bytes) => new Uint8Array(await crypto.subtle.sign(how, pair.privateKey, bytes)),
  };
}
