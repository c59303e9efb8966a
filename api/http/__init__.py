"""HTTP below our words: connections, requests, bodies, responses, errors."""
