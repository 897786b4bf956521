// Package s3 uploads to Amazon S3 and to stores that speak its API: MinIO, R2,
// Ceph, B2, Wasabi, GCS. It never retries, and keeps nothing on disk: that is the
// engine's and the journal's.
//
// # Mechanism
//
// A file of several parts is a multipart upload; one that fits into one part is
// a single PUT, which may be repeated like any part. Each request is signed with the
// credentials of the moment, as a presigned URL, and goes through a [spec.Client]:
// limits and redaction are not this package's. A part whose URL was presigned
// for others (package handoff) is sent with that URL, whatever credentials there are.
//
// Parts carry their CRC-64/NVME where the store knows it, and complete carries that of
// the whole object, so that the store compares both. The checksum of a part is signed
// with its request, so that the part is read once before it is sent, most often from
// the page cache: a part that is damaged on its way is refused at once, not the whole
// object at the end. A store that does not know CRC-64/NVME is found out by its answer
// to create, and its ETags are compared as everywhere. Where these are no MD5s either
// (SSE-KMS), parts carry Content-MD5: see sendsMD5.
//
// An upload is found without a journal by the option resume: the store lists its parts,
// and the engine compares them with the file.
//
// # Configuration
//
// [Define] takes the address; its Open takes spec.Settings: Base is the endpoint of
// a store other than AWS, Options are those of docs/s3.md. Region, profile and
// credentials come from where the AWS SDK finds them: the environment, the files in
// ~/.aws, web identity, the container's and the machine's role. Credentials that expire
// are looked for again while an upload runs.
//
// # Permissions
//
// s3:PutObject; s3:AbortMultipartUpload to abort, s3:ListBucketMultipartUploads
// and s3:ListMultipartUploadParts to find what a store has, and s3:GetObject only to
// find out how a completion ended whose answer was lost. An error names the one that is
// missing.
//
// # Caveats
//
//   - The parts of an unfinished upload are billed until it is aborted. A lifecycle rule
//     that aborts old ones is a good idea; prune --remote does so by hand.
//   - The first answer that names another region ends the upload: nothing is redirected.
//   - Presigned URLs end with the credentials that signed them, at the latest after 12
//     hours.
//   - SSE-C is not offered: each request would have to have the key.
//   - if-none-match is enforced by the store at the end of the upload.
package s3
