// Runs in Node.js with the packages of .outside/node: @sd-jwt's credentials and presentations, and its opinion of ours.
"use strict"

const { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } = require("node:crypto")
const { createRequire } = require("node:module")
const { readFileSync } = require("node:fs")

const load = createRequire(`${process.argv[2]}/here`)

const { SDJwtInstance } = load("@sd-jwt/core")
const { SDJwtVcInstance } = load("@sd-jwt/sd-jwt-vc")

const opinion = async (job) => job().catch((error) => ({ refused: String(error.message) }))
const algOf = ({ crv }) => (crv === "Ed25519" ? "EdDSA" : "ES256")
const hashOf = ({ crv }) => (crv === "Ed25519" ? null : "sha256")

const signer = (jwk) => (data) => {
  const key = { key: createPrivateKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" }
  return sign(hashOf(jwk), Buffer.from(data), key).toString("base64url")
}
const verifier = (jwk) => (data, signature) => {
  const key = { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" }
  return verify(hashOf(jwk), Buffer.from(data), key, Buffer.from(signature, "base64url"))
}

const CLASSES = { core: SDJwtInstance, vc: SDJwtVcInstance }

const instance = ({ library = "vc", key, holder }) =>
  new CLASSES[library]({
    hasher: (data, alg) => createHash(alg.replace("-", "")).update(Buffer.from(data)).digest(),
    hashAlg: "sha-256",
    saltGenerator: (length) => randomBytes(length).toString("base64url"),
    ...(key && { signer: signer(key), signAlg: algOf(key), verifier: verifier(key) }),
    ...(holder && { kbSigner: signer(holder), kbSignAlg: algOf(holder) }),
    // The holder's key is the one in the credential, whatever the question brings.
    kbVerifier: (data, signature, payload) => verifier(payload.cnf.jwk)(data, signature),
  })

const answers = {
  verify: async ({ credential, nonce, now, ...given }) => {
    const found = await instance(given).verify(credential, { currentDate: now, ...(nonce && { keyBindingNonce: nonce }) })
    return { payload: found.payload, kb: found.kb ? found.kb.payload : null }
  },
  issue: async ({ claims, frame, kid, ...given }) => instance(given).issue(claims, frame, { header: { kid } }),
  // In two steps: with a binding the library chooses twice, and its first choice takes apart what is hidden within parts.
  present: async ({ credential, frame, kb, ...given }) => {
    const shown = await instance(given).present(credential, frame)
    return kb ? instance(given).present(shown, undefined, { kb: { payload: kb } }) : shown
  },
}

const main = async () => {
  const cases = JSON.parse(readFileSync(0, "utf8"))
  const found = []
  for (const one of cases) found.push(await opinion(() => answers[one.ask](one)))
  process.stdout.write(JSON.stringify(found))
}

main()
