// Command bench measures causeway against the budgets of its design. Every
// line stands beside a reference that was measured in the same run, in turns
// with it, by the same client: absolute figures wander with the machine, the
// ratios do not.
//
//	go run ./internal/bench            all lines, in less than eight minutes
//	go run ./internal/bench -only 1,3  some of them
//
// Nodes run as processes of their own, built stripped from this source; the
// client shares the processor with them. Results go to standard output, what
// is going on to standard error. A missed budget is no failure of the program.
package main
