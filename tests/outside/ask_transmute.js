// Runs in Node.js with the packages of .outside/node: @transmute/cose's opinion of receipts, all in hexadecimal.
"use strict"

const { createHash } = require("node:crypto")
const { createRequire } = require("node:module")
const { readFileSync } = require("node:fs")

const cose = createRequire(`${process.argv[2]}/here`)("@transmute/cose")
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"))
const hex = (found) => Buffer.from(found).toString("hex")
const opinion = async (job) => job().catch((error) => ({ refused: String(error.message) }))

// The verifier of a COSE_Key as a log publishes it.
const verifierOf = async (key) => {
  const jwk = await cose.key.convertCoseKeyToJsonWebKey(cose.cbor.decode(bytes(key)))
  return cose.detached.verifier({ resolver: { resolve: async () => jwk } })
}

// The root that a receipt proves the entry in.
const included = async (receipt, entry, key) => {
  const leaf = await cose.receipt.leaf(entry)
  return hex(await cose.receipt.inclusion.verify({ entry: leaf, receipt, verifier: await verifierOf(key) }))
}

const answers = {
  inclusion: ({ receipt, entry, key }) => included(bytes(receipt), bytes(entry), key),
  transparent: async ({ transparent, key }) => {
    const statement = Buffer.from(await cose.receipt.remove(bytes(transparent)))
    const entry = new Uint8Array(createHash("sha256").update(statement).digest())
    const found = await cose.receipt.get(bytes(transparent))
    const roots = await Promise.all(found.map((receipt) => included(receipt, entry, key)))
    return { statement: hex(statement), roots }
  },
  // The library wants the newer root beside the receipt, where RFC 9942 has it inside.
  consistency: async ({ receipt, root1, root2, key }) => {
    const signed = cose.cbor.decode(bytes(receipt))
    signed.value[2] = null
    const given = { oldRoot: bytes(root1).buffer, newRoot: bytes(root2).buffer, receipt: cose.cbor.encode(signed) }
    return cose.receipt.consistency.verify({ ...given, verifier: await verifierOf(key) })
  },
}

const main = async () => {
  const cases = JSON.parse(readFileSync(0, "utf8"))
  const found = await Promise.all(cases.map((one) => opinion(() => answers[one.ask](one))))
  process.stdout.write(JSON.stringify(found))
}

main()
