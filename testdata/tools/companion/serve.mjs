// Companion, with nothing but its S3, on a loopback port:
//
//	node serve.mjs PORT ENDPOINT BUCKET REGION KEY SECRET FOLDER
import * as companion from '@uppy/companion'
import express from 'express'

const [port, endpoint, bucket, region, key, secret, filePath] = process.argv.slice(2)
const app = express()
app.use(express.json())
app.use(companion.app({
  s3: { key, secret, bucket, region, endpoint, forcePathStyle: true, expires: 300, acl: null },
  server: { host: `127.0.0.1:${port}`, protocol: 'http' },
  filePath, secret: key, corsOrigins: true, providerOptions: {},
}).app)
app.listen(Number(port), '127.0.0.1')
