'use strict'

// express-session with the routes that the other contestants have. SESSIONS says where sessions are: `none`, `memory`, or the
// name of a folder. Prints the port it listens on, and ends with its standard input.

const express = require('express')
const session = require('express-session')
const fileStore = require('session-file-store')

const user = { id: 42, name: 'Ada', roles: ['admin'] }
const rest = ['csrf', 'cart', 'locale', 'theme', 'last_page', 'referrer', 'campaign', 'note']

const payload = (bytes) => {
  const entries = { views: 7, user }
  for (const key of rest) entries[key] = ''
  const missing = bytes - JSON.stringify(entries).length
  rest.forEach((key, nth) => {
    entries[key] = 'x'.repeat(Math.floor(missing / rest.length) + (nth < missing % rest.length ? 1 : 0))
  })
  return entries
}

const shown = (views, user) => `${views ?? 0} ${user?.name ?? 'nobody'}`

const app = express()
// What Express adds of itself, the others do not have.
app.disable('x-powered-by')
app.disable('etag')

const where = process.env.SESSIONS
if (where === 'none') {
  let counter = 7
  app.get('/fill/:bytes', (req, res) => res.send('filled'))
  app.get('/read', (req, res) => res.send(shown(7, { ...user })))
  app.get('/write', (req, res) => res.send(String(++counter)))
} else {
  const FileStore = fileStore(session)
  const store = where === 'memory' ? undefined : new FileStore({ path: where, logFn: () => {}, reapInterval: -1 })
  const cookie = { maxAge: 24 * 60 * 60 * 1000, sameSite: 'lax' }
  const secret = 'a secret of at least 32 bytes, for the benchmarks'
  app.use(session({ store, cookie, secret, resave: false, saveUninitialized: false }))
  app.get('/fill/:bytes', (req, res) => {
    Object.assign(req.session, payload(Number(req.params.bytes)))
    res.send('filled')
  })
  app.get('/read', (req, res) => res.send(shown(req.session.views, req.session.user)))
  app.get('/write', (req, res) => {
    req.session.views = (req.session.views ?? 0) + 1
    res.send(String(req.session.views))
  })
}

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit()).resume()
