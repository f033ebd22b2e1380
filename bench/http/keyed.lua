-- One event per request, each with an Idempotency-Key of its own.
local number, run = 0, os.time() .. "-" .. tostring({}):sub(8)
local headers = { ["Content-Type"] = "application/json" }
local body = '{"key":"order-123","value":{"orderId":"123","total":99.99}}'
function request()
  number = number + 1
  headers["Idempotency-Key"] = run .. "-" .. number
  return wrk.format("POST", nil, headers, body)
end
