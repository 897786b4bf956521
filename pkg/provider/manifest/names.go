package manifest

import (
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
)

// newNames are the keys that had another name once.
var newNames = map[string]string{
	"grant": "presign", "grant.grants": "presign.urls", "presign.grants": "presign.urls", "create.grants": "create.urls",
	"create.upload": "create.keep", "limits.grant_life": "limits.url_life", "part.digest": "part.digests",
	"samples.want.upload": "want.keep", "samples.want.grants": "want.urls", "samples.grant": "presign",
}

var listIndex = text.Pattern(`\[\d+\]`)

// renamed is the name that a key has now; empty: it never had another.
func renamed(key string) string {
	key = strings.TrimPrefix(listIndex().ReplaceAllString(key, ""), "small.")
	return newNames[key]
}

// present is the whole key that a renamed one stands for.
func present(key string) string {
	prefix := ""
	if strings.HasPrefix(key, "small.") {
		prefix = "small."
	}
	return prefix + renamed(key)
}

// newVariables are what variables are called that had another name once.
var newVariables = map[string]string{"$receipts": "$parts", "$want": "$part_size", "$grants": "$parts", "$grant": "$part"}

// access is what stands between a variable and one of its fields: $file.name,
// $file["name"].
const access = `\s*(?:\.\s*"?|\.?\s*\[\s*")`

// What can be wrong with the names in an expression.
var (
	fieldOf = text.Pattern(`\$(file|part|parts\s*\[\s*\d*\s*\])` + access + `([A-Za-z_]\w*)`)
	upper   = text.Pattern(`\$header` + access + `([\w-]*[A-Z][\w-]*)`)
	// hyphened is a field that jq reads as a subtraction.
	hyphened = text.Pattern(`(\$\w+)?\.([A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)`)

	token = text.Pattern(`(?:^|[\s|({,:]|\$parts\[[^\]]*\])\.token\b`)
)

// namesOf are the fields of the variables that have a fixed set of them.
var namesOf = map[string][]string{
	"file":  {"name", "type", "size"},
	"part":  {"number", "offset", "size", "index", "receipt"},
	"parts": {"number", "offset", "size", "receipt", "etag", "checkpointed"},
}

// lint reports names in an expression that do not exist, and old ones.
func (e *expr) lint(n node) {
	old := false // $parts[].token is used
	for _, m := range fieldOf().FindAllStringSubmatch(e.text, -1) {
		of, _, _ := strings.Cut(m[1], "[")
		of = strings.TrimSpace(of)
		known := namesOf[of]
		if of != "file" {
			known = slices.Concat(known, digestFields)
		}
		switch {
		case m[2] == "token" && of == "parts":
			old = true
		case !slices.Contains(known, m[2]):
			n.report(place{n.Line, n.Column}, "$%s has no %s%s (it has %s)", of, m[2], text.DidYouMean(m[2], known), strings.Join(namesOf[of], ", "))
		}
	}
	for _, m := range upper().FindAllStringSubmatch(e.text, -1) {
		n.report(place{n.Line, n.Column}, "$header.%s never matches: names in $header are in lower case", m[1])
	}
	// What a receipt holds as JSON may be called token.
	old = old || e.mentions("$parts") && !e.mentions("fromjson") && token().MatchString(e.text) && !strings.HasSuffix(n.key, ".urls") && !strings.HasSuffix(n.key, ".keep")
	if old {
		n.report(place{n.Line, n.Column}, ".token of $parts is called .receipt now")
	}
}
