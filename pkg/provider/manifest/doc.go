// Package manifest speaks an upload API that a YAML manifest describes: jq
// expressions build the requests and read the replies.
//
// It promises that a manifest is checked whole before anything is sent, that
// the secret goes to the origin of the base address and nowhere else and
// appears in no error and no result, that numbers are not rounded, and that
// nothing which a reply lacks passes for a value.
//
// It refuses to retry, to follow a redirect, to read the environment or a
// file, and to run an expression without an end.
package manifest
