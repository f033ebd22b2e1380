-- A hundred events per request.
local records = {}
for number = 1, 100 do
  records[number] = '{"key":"order-' .. number .. '","value":{"orderId":"' .. number .. '","total":99.99}}'
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"records":[' .. table.concat(records, ",") .. "]}"
