package simulator_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"gemini-client/service/openrouter/simulator"
)

// The first call of this prompt is refused, the second is answered.
func Example() {
	sim := simulator.New(simulator.Config{Answer: func(simulator.Prompt) string { return "Because of the air." }})
	server := httptest.NewServer(sim)
	defer server.Close()
	defer sim.Close()

	body := `{"stream": true, "messages": [{"role": "user", "content": "Why is the sky blue? [sim:429 retry_after=3 times=1]"}]}`
	for range 2 {
		request, _ := http.NewRequest(http.MethodPost, server.URL+"/api/v1/chat/completions", strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer sk-or-v1-simulated")
		response, err := server.Client().Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d, Retry-After %q\n", response.StatusCode, response.Header.Get("Retry-After"))
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), ":") || strings.HasSuffix(lines.Text(), "[DONE]") {
				fmt.Println(lines.Text())
			}
		}
		response.Body.Close()
	}
	for _, call := range sim.Calls() {
		fmt.Println(call.Number, call.Outcome, call.CompletionTokens)
	}
	// Output:
	// 429, Retry-After "3"
	// 200, Retry-After ""
	// : OPENROUTER PROCESSING
	// data: [DONE]
	// 1 429 0
	// 2 completed 5
}
