// Package sandbox is the embedded provider: a local object store with signed,
// expiring URLs, in front of it one of four upload APIs, and faults on demand.
//
// Use it to upload without an account or a network, to rehearse scripts, and
// in tests. It reads the vendors' documentation on its own and shares no code
// with the client's side, so that a misreading shows. It is strict: a field
// that is unknown or of the wrong type is refused, a key is compared, and the
// store keeps S3's rules. Where the documentation is silent it makes a choice,
// and docs/sandbox.md says which.
//
// Everything it must remember is in files below [Server.Dir]: a sandbox that
// was killed goes on where it was, and several processes may use one directory
// at a time. It syncs nothing to the disk: it outlives its process, not the
// machine.
package sandbox
