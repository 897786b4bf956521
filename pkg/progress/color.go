package progress

import "strings"

// Colors of what is done, of warnings and of what failed, as codes of SGR.
const (
	Green  = "32"
	Yellow = "33"
	Red    = "31"
)

// Paint gives s a color; on says whether there are any.
func Paint(on bool, color, s string) string {
	if !on || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// paintLine colors a line up to its first colon: what kind of line it is, or
// which file is done.
func paintLine(on bool, color, line string) string {
	head, rest, cut := strings.Cut(line, ": ")
	if !cut {
		return line
	}
	return Paint(on, color, head+":") + " " + rest
}
