// Package docs holds the pages of the manual, so that multiput help and the
// manual pages work without a copy of the repository.
package docs

import "embed"

// Pages are the pages of this directory, in Markdown, by their file names.
//
//go:embed *.md
var Pages embed.FS

// Manifests are the manifests of the gallery, in manifests/.
//
//go:embed manifests/*.yaml
var Manifests embed.FS
