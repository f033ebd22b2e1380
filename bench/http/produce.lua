-- One event per request.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"key":"order-123","value":{"orderId":"123","total":99.99}}'
