// Stage programs as processes of their own, against a broker that plays a script.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Peer } from './broker.js';

/**
 * Runs `program` (with arguments, an array) with Node; its exit code and standard error. `script` gets the broker's end
 * of the connection, and a function that gives the child process.
 */
export async function against(program, script, { signal = undefined, env = {} } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'stagewire-'));
  const path = join(directory, 'broker');
  let worker;
  let hasDialled = false;
  const playing = new Promise((resolve, reject) => {
    const server = net.createServer((socket) => {
      hasDialled = true;
      script(new Peer(socket), () => worker).then(resolve, (error) => { socket.destroy(); reject(error); }).finally(() => server.close());
    });
    server.listen(path, () => {
      worker = spawn(process.execPath, [].concat(program), {
        env: { ...process.env, STAGEWIRE_SOCKET: path, STAGEWIRE_TOKEN: 'ff', STAGEWIRE_STAGE: '', ...env }, stdio: ['ignore', 'ignore', 'pipe'],
      });
      worker.ended = new Promise((done) => worker.on('close', done));
      worker.text = '';
      // One that ends without having dialled would leave the test waiting. Else the script sees the end by itself.
      worker.ended.then((code) => {
        if (hasDialled) return;
        server.close();
        reject(new Error(`ended with ${code}: ${worker.text}`));
      });
      worker.stderr.on('data', (chunk) => { worker.text += chunk; });
    });
  });
  try {
    await playing;
    const code = await worker.ended;
    if (signal) assert.equal(worker.signalCode, signal);
    return { code, stderr: worker.text };
  } finally {
    worker?.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  }
}
