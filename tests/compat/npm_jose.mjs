// What npm's jose makes of tokens: one request as JSON on stdin, one answer as JSON on stdout.
//
//   {"do": "verify", "token", "algorithm", "certificate": PEM, "issuer", "audience"}  ->  {"header", "payload"} or {"refused"}
//   {"do": "sign", "algorithm", "key": PKCS#8 PEM, "header", "payload"}               ->  {"token"}
//
// NODE_MODULES names the folder that jose is installed in.

import { createRequire } from "node:module";
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

// Node 18 has it, but not where jose looks.
globalThis.crypto ??= webcrypto;

const require = createRequire(`${process.env.NODE_MODULES}/`);
const jose = await import(pathToFileURL(require.resolve("jose")));

async function answer(request) {
  if (request.do === "sign") {
    const key = await jose.importPKCS8(request.key, request.algorithm);
    const token = await new jose.SignJWT(request.payload).setProtectedHeader(request.header).sign(key);
    return { token };
  }
  const key = await jose.importX509(request.certificate, request.algorithm);
  const { algorithm, issuer, audience } = request;
  try {
    const verified = await jose.jwtVerify(request.token, key, { algorithms: [algorithm], issuer, audience });
    return { header: verified.protectedHeader, payload: verified.payload };
  } catch (error) {
    return { refused: error.code ?? String(error) };
  }
}

process.stdout.write(JSON.stringify(await answer(JSON.parse(readFileSync(0, "utf8")))));
