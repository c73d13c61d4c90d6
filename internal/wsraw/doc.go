// Package wsraw is the client's side of a WebSocket (RFC 6455, with compressed
// messages as in RFC 7692) that does as little as it can, for tests, which must
// also send what no library sends, and for benchmarks, which should measure
// the server. It checks what the server sends, and trusts nothing of it.
package wsraw
