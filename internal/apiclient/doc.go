// Package apiclient speaks the HTTP API of a node as the command line needs
// it: calls with retries, problems as errors, pages as streams.
//
// Every write carries an idempotency key, so a retry after a lost answer
// cannot write twice. A call is repeated when the connection failed, and after
// 429 and 503, with growing, jittered pauses; any other answer stands.
package apiclient
