// Reads [{secret, headers, body: base64}] and writes, for each, true or what the published package has against it.
import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';

const verdict = ({ secret, headers, body }) => {
  try {
    new Webhook(secret).verify(Buffer.from(body, 'base64'), headers);
    return true;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(verdict)));
