// Package sessiontest judges, in tests, what sessions show.
package sessiontest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// wireMessage is a message as a chat completion wants it.
type wireMessage struct {
	ID         string          `json:"id"`
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCalls  json.RawMessage `json:"tool_calls"`
	ToolCallID string          `json:"tool_call_id"`
}

// Strict is what an unforgiving model's interface checks of a history: each
// call has one result, right behind the message that made it; each result has
// a call; forms and roles are legal. messages is a JSON list.
func Strict(messages []byte) error {
	var list []wireMessage
	if err := json.Unmarshal(messages, &list); err != nil {
		return err
	}
	var open []string // calls that wait for their result
	var err error
	for i, m := range list {
		if err := strictContent(m.Content); err != nil {
			return fmt.Errorf("message %d, %s: content %s: %w", i, m.ID, m.Content, err)
		}
		if m.Role == "tool" {
			at := slices.Index(open, m.ToolCallID)
			if at < 0 || m.ToolCallID == "" {
				return fmt.Errorf("message %d, %s, answers %q; open are %q", i, m.ID, m.ToolCallID, open)
			}
			open = slices.Delete(open, at, at+1)
			continue
		}
		switch {
		case len(open) > 0:
			return fmt.Errorf("message %d, %s, of %s while %q are open", i, m.ID, m.Role, open)
		case !slices.Contains([]string{"system", "user", "assistant"}, m.Role):
			return fmt.Errorf("message %d, %s, of role %q", i, m.ID, m.Role)
		case m.ToolCalls == nil:
		case m.Role != "assistant":
			return fmt.Errorf("message %d, %s, of %s calls tools", i, m.ID, m.Role)
		default:
			if open, err = strictCalls(m.ToolCalls); err != nil {
				return fmt.Errorf("message %d, %s: tool_calls %s: %w", i, m.ID, m.ToolCalls, err)
			}
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%q are open at the end", open)
	}
	return nil
}

func strictContent(content json.RawMessage) error {
	var text string
	if json.Unmarshal(content, &text) == nil && string(content) != "null" {
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(content, &parts); err != nil {
		return errors.New("neither text nor parts")
	}
	for _, p := range parts {
		if p.Type == "" {
			return errors.New("part without a type")
		}
	}
	if len(parts) == 0 {
		return errors.New("no parts")
	}
	return nil
}

func strictCalls(raw json.RawMessage) ([]string, error) {
	var calls []struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string  `json:"name"`
			Arguments *string `json:"arguments"`
		} `json:"function"`
	}
	if err := json.Unmarshal(raw, &calls); err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range calls {
		if c.ID == "" || c.Type != "function" || c.Function.Name == "" || c.Function.Arguments == nil || slices.Contains(ids, c.ID) {
			return nil, fmt.Errorf("call %+v", c)
		}
		ids = append(ids, c.ID)
	}
	if len(ids) == 0 {
		return nil, errors.New("none")
	}
	return ids, nil
}
