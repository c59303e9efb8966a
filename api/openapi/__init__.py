"""What the API says of itself: operations, the OpenAPI document, Swagger UI."""
