// Package upload is the heart of multiput: it takes one local file to one
// provider in parts and brings it to an end that can be believed.
//
// It promises that a receipt is on disk before anything else hears of it, that
// a part with a receipt is not sent again, that parts tile the file exactly
// before a byte is sent, and that no object is completed from two versions of
// a file. Resuming is calling [Uploader.Upload] again.
//
// It refuses to know a provider, a store, a screen or a file format: those are
// behind [Provider], [Journal] and [Uploader.Observe].
package upload
