// Package s3 uploads to Amazon S3 and to stores that speak its API: MinIO, R2,
// Ceph, B2, Wasabi, GCS.
//
// A file of several parts is a multipart upload; one that fits into one part is
// a single PUT, which may be repeated like any part. Credentials and the region
// come from where the AWS SDK finds them. Each request is signed again with the
// credentials of the moment, as a presigned URL, and goes through a
// [spec.Client]: retrying, limits and redaction are not this package's.
//
// Parts carry their CRC-64/NVME where the store knows it, and complete carries
// that of the whole object, so that the store compares both. A store that does
// not know it is told nothing, and its ETags are compared as everywhere.
//
// It needs s3:PutObject; s3:AbortMultipartUpload to abort,
// s3:ListBucketMultipartUploads and s3:ListMultipartUploadParts to find what a
// store has, and s3:GetObject only to find out how a completion ended whose
// answer was lost.
package s3
