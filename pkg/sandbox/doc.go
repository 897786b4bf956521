// Package sandbox is the embedded provider: a local object store with signed,
// expiring URLs, in front of it one of four upload APIs, and faults on demand.
//
// Use it to upload without an account or a network, to try scripts, and in tests of
// any client of these APIs, whether it uses multiput or not. It reads the vendors'
// documentation on its own and shares no code with multiput's client side, so that a
// misreading shows.
//
// # Mechanism
//
// A [Server] speaks one API of [APIs]. [Server.Start] listens on an address;
// [Server.Handler] is for a server of your own, such as httptest's. The base URL is
// the server's, followed by [Base]. The presigned URLs that it gives lead to its own
// store, which checks the signature, the expiry and the length of each PUT and
// answers with S3's ETags. The completed object is a file below Server.Dir.
//
// It is strict: an unknown field or one of the wrong type is refused, a key is
// compared, and the store keeps S3's rules. Where the documentation is silent it
// makes a choice; docs/sandbox.md says which.
//
// # Configuration
//
// API and Dir are required. Without Key, requests need no key. Sizes and lifetimes have the
// vendors' values where they are zero. Now replaces the clock, Log gets a line for
// each request, and Before and After are called for each: a test counts with them.
//
// [ParseFaults] declares what goes wrong, such as
//
//	put@part=3@times=2:status=503,Retry-After=1
//	complete:lost-reply
//
// A test should fail if a fault that it declared never happened ([Faults.Unfired]).
//
// # Caveats
//
// What it must remember is in files below [Server.Dir]: a sandbox that was killed
// continues where it was, and several processes may use one directory at a time. It
// syncs nothing to the disk: it outlives its process, not the machine. Do not serve it
// to a network: it is made for the loopback.
package sandbox
