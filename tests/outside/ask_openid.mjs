// Runs in Node.js with the packages of .outside/node: @openid4vc and dcql as a wallet, as an issuer and as a verifier.

import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from "node:crypto"
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

const load = (name) => import(pathToFileURL(`${process.argv[2]}/${name}/dist/index.mjs`))
const { clientAuthenticationAnonymous, setGlobalConfig } = await load("@openid4vc/oauth2")
const { Openid4vciClient, Openid4vciIssuer } = await load("@openid4vc/openid4vci")
const { Openid4vpClient, Openid4vpVerifier } = await load("@openid4vc/openid4vp")
const { DcqlPresentationResult, DcqlQuery } = await load("dcql")
setGlobalConfig({ allowInsecureUrls: true }) // the party is on loopback

const coded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url")
const KINDS = { EdDSA: ["ed25519", {}], ES256: ["ec", { namedCurve: "P-256" }] }
const opinion = async (job) => job().catch((error) => ({ refused: String(error.message) }))

// A holder with a new key: { jwk, alg, token(header, payload) }.
const holderOf = (alg) => {
  const { privateKey, publicKey } = generateKeyPairSync(...KINDS[alg])
  const token = (header, payload) => {
    const said = `${coded({ ...header, alg })}.${coded(payload)}`
    const key = { key: privateKey, dsaEncoding: "ieee-p1363" }
    return `${said}.${sign(alg === "EdDSA" ? null : "sha256", Buffer.from(said), key).toString("base64url")}`
  }
  return { jwk: publicKey.export({ format: "jwk" }), alg, token }
}

const callbacksOf = (holder, jwkOfKid) => ({
  fetch,
  hash: (data, alg) => createHash(alg.replace("-", "")).update(data).digest(),
  generateRandom: (count) => randomBytes(count),
  clientAuthentication: clientAuthenticationAnonymous(),
  signJwt: (_, { header, payload }) => ({ jwt: holder.token(header, payload), signerJwk: holder.jwk }),
  verifyJwt: (signer, { compact, header }) => {
    const jwk = signer.publicJwk ?? jwkOfKid
    const [head, body, signature] = compact.split(".")
    const key = { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" }
    const hash = header.alg === "EdDSA" ? null : "sha256"
    return { verified: verify(hash, Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url")), signerJwk: jwk }
  },
  encryptJwe: () => { throw new Error("nothing is encrypted") },
  decryptJwe: () => { throw new Error("nothing is encrypted") },
})

const receive = async (holder, offer, txCode) => {
  const client = new Openid4vciClient({ callbacks: callbacksOf(holder) })
  const credentialOffer = await client.resolveCredentialOffer(offer)
  const issuerMetadata = await client.resolveIssuerMetadata(credentialOffer.credential_issuer)
  const given = { credentialOffer, issuerMetadata, txCode }
  const { accessTokenResponse } = await client.retrievePreAuthorizedCodeAccessTokenFromOffer(given)
  const accessToken = accessTokenResponse.access_token
  const [credentialConfigurationId] = credentialOffer.credential_configuration_ids
  const { c_nonce: nonce } = await client.requestNonce({ issuerMetadata })
  const signer = { method: "jwk", alg: holder.alg, publicJwk: holder.jwk }
  const proof = await client.createCredentialRequestJwtProof({ issuerMetadata, credentialConfigurationId, nonce, signer })
  const wanted = { issuerMetadata, credentialConfigurationId, accessToken, proofs: { jwt: [proof.jwt] } }
  const { credentialResponse } = await client.retrieveCredentials(wanted)
  const notification = { notificationId: credentialResponse.notification_id, event: "credential_accepted" }
  await client.sendNotification({ issuerMetadata, accessToken, notification })
  return { draft: issuerMetadata.originalDraftVersion, credential: credentialResponse.credentials[0].credential }
}

// An SD-JWT with all of it shown, bound to a request.
const bound = (holder, text, nonce, aud) => {
  const payload = { iat: Math.floor(Date.now() / 1000), nonce, aud, sd_hash: createHash("sha256").update(text).digest("base64url") }
  return text + holder.token({ typ: "kb+jwt" }, payload)
}

const claimsOf = (text) => {
  const [token, ...rest] = text.split("~")
  const open = JSON.parse(Buffer.from(token.split(".")[1], "base64url"))
  for (const each of rest.slice(0, -1)) {
    const [, name, value] = JSON.parse(Buffer.from(each, "base64url"))
    open[name] = value
  }
  return open
}

const sdJwt = (claims) => ({ credential_format: "dc+sd-jwt", vct: claims.vct, claims, cryptographic_holder_binding: true })

const answers = {
  // Their wallet takes our offer and answers our request.
  wallet: async ({ offer, tx_code: txCode, request, alg }) => {
    const holder = holderOf(alg)
    const found = await receive(holder, offer, txCode)
    const client = new Openid4vpClient({ callbacks: callbacksOf(holder) })
    const { params } = client.parseOpenid4vpAuthorizationRequest({ authorizationRequest: request })
    const resolved = await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: params })
    const asked = resolved.authorizationRequestPayload
    const query = DcqlQuery.parse(asked.dcql_query)
    DcqlQuery.validate(query)
    const result = DcqlQuery.query(query, [sdJwt(claimsOf(found.credential))])
    const [name] = Object.keys(result.credential_matches).filter((each) => result.credential_matches[each].success)
    const shown = bound(holder, found.credential, asked.nonce, resolved.client.effective)
    const { authorizationResponsePayload } = await client.createOpenid4vpAuthorizationResponse({
      authorizationRequestPayload: asked,
      authorizationResponsePayload: { vp_token: { [name]: [shown] } },
    })
    const { response } = await client.submitOpenid4vpAuthorizationResponse({
      authorizationRequestPayload: asked,
      authorizationResponsePayload,
    })
    return { draft: found.draft, version: resolved.version, satisfied: result.can_be_satisfied, status: response.status }
  },
  receive: ({ offer, tx_code: txCode, alg }) => receive(holderOf(alg), offer, txCode),
  // Their issuer reads our request and our proof, under our metadata.
  issuer: async ({ metadata, server, request, nonce, jwk }) => {
    const issuer = new Openid4vciIssuer({ callbacks: callbacksOf(holderOf("EdDSA"), jwk) })
    const issuerMetadata = {
      credentialIssuer: metadata,
      authorizationServers: [server],
      knownCredentialConfigurations: metadata.credential_configurations_supported,
      originalDraftVersion: "V1",
    }
    const parsed = issuer.parseCredentialRequest({ issuerMetadata, credentialRequest: request })
    const [jwt] = parsed.proofs.jwt
    const found = await issuer.verifyCredentialRequestJwtProof({ issuerMetadata, jwt, expectedNonce: nonce })
    return { configuration: parsed.credentialConfigurationId, aud: found.payload.aud }
  },
  // Their verifier asks, in a link that our wallet reads.
  ask: async ({ address, query }) => {
    const verifier = new Openid4vpVerifier({ callbacks: callbacksOf(holderOf("EdDSA")) })
    const { authorizationRequest } = await verifier.createOpenId4vpAuthorizationRequest({
      authorizationRequestPayload: {
        response_type: "vp_token",
        response_mode: "direct_post",
        client_id: `redirect_uri:${address}`,
        response_uri: address,
        nonce: "their-nonce",
        state: "their-state",
        dcql_query: query,
      },
    })
    return authorizationRequest
  },
  // Their verifier reads what our wallet answered.
  verifier: async ({ request, response, query, credentials }) => {
    const verifier = new Openid4vpVerifier({ callbacks: callbacksOf(holderOf("EdDSA")) })
    const found = verifier.validateOpenid4vpAuthorizationResponsePayload({
      authorizationRequestPayload: request,
      authorizationResponsePayload: response,
    })
    const dcqlQuery = DcqlQuery.parse(query)
    const shown = Object.fromEntries(Object.entries(credentials).map(([name, each]) => [name, each.map(sdJwt)]))
    const result = DcqlPresentationResult.fromDcqlPresentation(shown, { dcqlQuery })
    return { type: found.type, satisfied: result.can_be_satisfied }
  },
  // Their reading of queries alone.
  query: async ({ query, credentials }) => {
    const parsed = DcqlQuery.parse(query)
    DcqlQuery.validate(parsed)
    return DcqlQuery.query(parsed, credentials.map(sdJwt)).can_be_satisfied
  },
}

const found = []
for (const one of JSON.parse(readFileSync(0, "utf8"))) found.push(await opinion(async () => answers[one.ask](one)))
process.stdout.write(JSON.stringify(found))
