// Package httpapi is a node's HTTP API: it checks requests, turns them into
// commands for a [Service], and shows the answers. It holds no state of a
// session and decides nothing about one.
//
// What it owns: routes and their OpenAPI description (one table, routes.go),
// the strict reading of bodies (body.go), the limits of a request, the stable
// codes of problem answers (problem.go), and the headers of the contract.
//
// Bodies are read without reflection: one pass over the bytes checks UTF-8,
// syntax and depth before anything is decoded, so that a hostile body costs
// its length and no more. JSON values that belong to the client (content,
// tool_calls, metadata, context) are passed on as the bytes that came, less
// whitespace outside strings.
//
// The OpenAPI document is built with huma from the same table that serves.
// Requests do not pass through huma's generic handler: it about doubles the
// cost of an append (BenchmarkAppend compares), and its errors are shaped by
// variables of the whole process.
package httpapi
