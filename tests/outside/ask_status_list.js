// Runs in Node.js with the packages of .outside/node: @digitalbazaar's status lists, and its opinion of ours.
// It knows did:key and the lists that a question brings, and fetches nothing.
"use strict"

const { createRequire } = require("node:module")
const { readFileSync } = require("node:fs")
const { pathToFileURL } = require("node:url")

const load = createRequire(pathToFileURL(`${process.argv[2]}/here.mjs`))

const lists = load("@digitalbazaar/vc-bitstring-status-list")
const vc = load("@digitalbazaar/vc")
const { DataIntegrityProof } = load("@digitalbazaar/data-integrity")
const { contexts } = load("@digitalbazaar/credentials-context")
const cryptosuite = load("@digitalbazaar/eddsa-jcs-2022-cryptosuite")
const multikey = load("@digitalbazaar/ed25519-multikey")

const MULTIKEY = "https://w3id.org/security/multikey/v1"
const VERIFYING = new DataIntegrityProof({ cryptosuite: cryptosuite.createVerifyCryptosuite() })

const opinion = async (job) => job().catch((error) => ({ refused: String(error.message) }))

// documents: list credentials by address, and contexts.
const loader = (documents) => async (url) => {
  const found = (document) => ({ contextUrl: null, documentUrl: url, document })
  if (contexts.has(url)) return found(contexts.get(url))
  if (url in documents) return found(documents[url])
  const [did] = url.split("#")
  if (!did.startsWith("did:key:")) throw new Error(`not known: ${url}`)
  const text = did.slice("did:key:".length)
  const method = { id: `${did}#${text}`, type: "Multikey", controller: did, publicKeyMultibase: text }
  if (url !== did) return found({ "@context": MULTIKEY, ...method })
  return found({ "@context": ["https://www.w3.org/ns/did/v1"], id: did, verificationMethod: [method], assertionMethod: [method.id] })
}

const answers = {
  // The places that are set in an encoded list, and how many it has.
  decode: async ({ encoded }) => {
    const list = await lists.decodeList({ encodedList: encoded })
    return { size: list.length, set: [...Array(list.length).keys()].filter((index) => list.getStatus(index)) }
  },
  encode: async ({ size, set }) => {
    const list = await lists.createList({ length: size })
    for (const index of set) list.setStatus(index, true)
    return list.encode()
  },
  // A list credential of its own, signed.
  issue: async ({ id, issuer, purpose, size, set, key }) => {
    const list = await lists.createList({ length: size })
    for (const index of set) list.setStatus(index, true)
    const bare = await lists.createCredential({ id, list, statusPurpose: purpose, context: lists.VC_BSL_VC_V2_CONTEXT })
    const pair = await multikey.from({ "@context": MULTIKEY, type: "Multikey", ...key })
    const suite = new DataIntegrityProof({ signer: pair.signer(), cryptosuite: cryptosuite.createSignCryptosuite() })
    return vc.issue({ credential: { ...bare, issuer }, suite, documentLoader: loader({}) })
  },
  // What it makes of a credential whose lists the question brings: each purpose with its bit.
  check: async ({ credential, documents }) => {
    const found = await lists.checkStatus({
      credential, documentLoader: loader(documents), suite: VERIFYING,
      verifyBitstringStatusListCredential: true, verifyMatchingIssuers: true,
    })
    if (found.error) throw found.error
    return Object.fromEntries(found.results.map(({ credentialStatus, status }) => [credentialStatus.statusPurpose, status]))
  },
}

const main = async () => {
  const cases = JSON.parse(readFileSync(0, "utf8"))
  const found = []
  for (const one of cases) found.push(await opinion(() => answers[one.ask](one)))
  process.stdout.write(JSON.stringify(found))
}

main()
