package sandbox

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// key is where an object goes: its last element is the client's name for it,
// made fit for a file system.
func key(area, id, name string) string { return area + "/" + id + "/" + safeName(name) }

// maxName is the longest file name that every file system takes, in bytes,
// with something to spare.
const maxName = 200

// safeName makes a file name of what a client sent: one that stays in its
// directory, on Windows too.
func safeName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if len(name) > maxName {
		ext := path.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		name = name[:maxName-len(ext)]
		for !utf8.ValidString(name) {
			name = name[:len(name)-1]
		}
		name += ext
	}
	name = strings.TrimRight(name, ". ")
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch {
	case name == "":
		return "_"
	case len(stem) == 3 && strings.Contains("CON PRN AUX NUL", stem),
		len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9':
		return "_" + name
	}
	return name
}
