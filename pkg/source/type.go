package source

import (
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"strings"
)

const octets = "application/octet-stream"

// Type guesses the media type: by the name's extension, else by the first
// bytes. It never fails: what cannot be told is application/octet-stream.
func (f *File) Type(name string) string {
	if t := known[strings.ToLower(filepath.Ext(name))]; t != "" {
		return t
	}
	if f.s != nil || f.Absent() {
		return octets // its first bytes may be yet to come
	}
	head := make([]byte, 512)
	n, err := f.f.ReadAt(head, f.begin)
	if n == 0 || err != nil && err != io.EOF {
		return octets
	}
	if media, _, err := mime.ParseMediaType(http.DetectContentType(head[:n])); err == nil {
		return media
	}
	return octets
}

// known are the types of what is uploaded. The machine's own table is not
// asked: it differs between systems, and an upload that one began would not be
// found by another, as its type is part of what it is found by.
var known = map[string]string{
	".7z":      "application/x-7z-compressed",
	".aac":     "audio/aac",
	".arrow":   "application/vnd.apache.arrow.file",
	".avi":     "video/x-msvideo",
	".avif":    "image/avif",
	".avro":    "application/avro",
	".bin":     octets,
	".bmp":     "image/bmp",
	".bz2":     "application/x-bzip2",
	".css":     "text/css",
	".csv":     "text/csv",
	".doc":     "application/msword",
	".docx":    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".epub":    "application/epub+zip",
	".flac":    "audio/flac",
	".geojson": "application/geo+json",
	".gif":     "image/gif",
	".gz":      "application/gzip",
	".heic":    "image/heic",
	".htm":     "text/html",
	".html":    "text/html",
	".jpeg":    "image/jpeg",
	".jpg":     "image/jpeg",
	".js":      "text/javascript",
	".json":    "application/json",
	".jsonl":   "text/jsonl",
	".log":     "text/plain",
	".m4a":     "audio/mp4",
	".m4v":     "video/x-m4v",
	".md":      "text/markdown",
	".mkv":     "video/x-matroska",
	".mov":     "video/quicktime",
	".mp3":     "audio/mpeg",
	".mp4":     "video/mp4",
	".mpeg":    "video/mpeg",
	".mpg":     "video/mpeg",
	".ndjson":  "application/x-ndjson",
	".odt":     "application/vnd.oasis.opendocument.text",
	".ogg":     "audio/ogg",
	".opus":    "audio/opus",
	".parquet": "application/vnd.apache.parquet",
	".pdf":     "application/pdf",
	".png":     "image/png",
	".ppt":     "application/vnd.ms-powerpoint",
	".pptx":    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".py":      "text/x-python",
	".rtf":     "application/rtf",
	".sql":     "application/sql",
	".svg":     "image/svg+xml",
	".tar":     "application/x-tar",
	".tgz":     "application/gzip",
	".tif":     "image/tiff",
	".tiff":    "image/tiff",
	".tsv":     "text/tab-separated-values",
	".txt":     "text/plain",
	".wasm":    "application/wasm",
	".wav":     "audio/wav",
	".webm":    "video/webm",
	".webp":    "image/webp",
	".xls":     "application/vnd.ms-excel",
	".xlsx":    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".xml":     "application/xml",
	".xz":      "application/x-xz",
	".yaml":    "application/yaml",
	".yml":     "application/yaml",
	".zip":     "application/zip",
	".zst":     "application/zstd",
}
