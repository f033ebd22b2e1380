-- One event per request, and a pause of PAUSE_MS after each answer: less than full load.
local pause = tonumber(os.getenv("PAUSE_MS") or "1")
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"key":"order-123","value":{"orderId":"123","total":99.99}}'
function delay() return pause end
