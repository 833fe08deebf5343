'use strict'

// What express-session does in every cell of its decision matrix: which calls its store sees (S set, T touch, D destroy),
// what becomes of the cookie, what is stored afterwards. One request a cell, over HTTP; the answer to `GET /` is all of
// them as JSON.

const http = require('node:http')
const { once } = require('node:events')
const express = require('express')
const session = require('express-session')
const signature = require('cookie-signature')
const { version } = require('./node_modules/express-session/package.json')

const SECRETS = ['the new secret, of 32 bytes or more', 'the old secret, of 32 bytes or more']
const MINUTE = 60_000
const KNOWN = 'known'

class Recorder extends session.MemoryStore {
  calls = ''

  set (sid, sess, callback) {
    this.calls += 'S'
    super.set(sid, sess, callback)
  }

  touch (sid, sess, callback) {
    this.calls += 'T'
    super.touch(sid, sess, callback)
  }

  destroy (sid, callback) {
    this.calls += 'D'
    super.destroy(sid, callback)
  }

  // Behind the middleware's back, as another process would.
  change (sid, change) {
    this.sessions[sid] = JSON.stringify({ ...JSON.parse(this.sessions[sid]), ...change })
  }
}

// Each method of a session calls back; an error (a reload of what was never stored) is for the handler to ignore.
const call = (sess, method) => new Promise((resolve) => sess[method](resolve))

// What handlers do. `code` is what the documentation shows; `needs: 'stored'` has no meaning for a session that is new.
const actions = {
  read: { code: 'req.session.n', run: (req) => req.session.n },
  sameValue: { code: 'req.session.n = 1 (as it was)', needs: 'stored', run: (req) => { req.session.n = 1 } },
  touch: { code: 'touch()', run: (req) => { req.session.touch() } },
  maxAge: { code: 'cookie.maxAge = 30000', run: (req) => { req.session.cookie.maxAge = 30_000 } },
  modify: { code: 'req.session.n = 2', run: (req) => { req.session.n = 2 } },
  modifyBack: {
    code: 'n = 2; n = 1 (as it was)',
    needs: 'stored',
    run: (req) => {
      req.session.n = 2
      req.session.n = 1
    }
  },
  remove: { code: 'delete req.session.n', run: (req) => { delete req.session.n } },
  reorder: {
    code: 'delete n; n = 1 (now the last key)',
    needs: 'stored',
    run: (req) => {
      delete req.session.n
      req.session.n = 1
    }
  },
  save: { code: 'save()', run: (req) => call(req.session, 'save') },
  modifySave: {
    code: 'n = 2; save()',
    run: async (req) => {
      req.session.n = 2
      await call(req.session, 'save')
    }
  },
  modifySaveModify: {
    code: 'n = 2; save(); n = 3',
    run: async (req) => {
      req.session.n = 2
      await call(req.session, 'save')
      req.session.n = 3
    }
  },
  reload: { code: 'reload()', run: (req) => call(req.session, 'reload') },
  modifyReload: {
    code: 'n = 2; reload()',
    run: async (req) => {
      req.session.n = 2
      await call(req.session, 'reload')
    }
  },
  bodyModify: {
    code: 'res.write(…); n = 2',
    run: async (req, res) => {
      await new Promise((resolve) => res.write('first', resolve))
      req.session.n = 2
    }
  },
  regenerate: { code: 'regenerate()', run: (req) => call(req.session, 'regenerate') },
  regenerateModify: {
    code: 'regenerate(); n = 2',
    run: async (req) => {
      await call(req.session, 'regenerate')
      req.session.n = 2
    }
  },
  regenerateModifySave: {
    code: 'regenerate(); n = 2; save()',
    run: async (req) => {
      await call(req.session, 'regenerate')
      req.session.n = 2
      await call(req.session, 'save')
    }
  },
  destroy: { code: 'destroy()', run: (req) => call(req.session, 'destroy') },
  modifyDestroy: {
    code: 'n = 2; destroy()',
    run: async (req) => {
      req.session.n = 2
      await call(req.session, 'destroy')
    }
  },
  nullKeep: { code: 'req.session = null', run: (req) => { req.session = null } },
  nullDestroy: { code: 'req.session = null, unset: destroy', unset: 'destroy', run: (req) => { req.session = null } },
  destroyUnset: { code: 'destroy(), unset: destroy', unset: 'destroy', run: (req) => call(req.session, 'destroy') },
  modifyFail: {
    code: 'n = 2; res.status(500)',
    run: (req, res) => {
      req.session.n = 2
      res.status(500)
    }
  },
  httpRead: { code: 'req.session.n; Secure cookie, http', secure: true, run: (req) => req.session.n },
  httpModify: { code: 'n = 2; Secure cookie, http', secure: true, run: (req) => { req.session.n = 2 } },
  goneRead: {
    code: 'req.session.n, destroyed elsewhere meanwhile',
    needs: 'stored',
    run: (req) => { delete req.sessionStore.sessions[KNOWN] }
  },
  goneModify: {
    code: 'n = 2, destroyed elsewhere meanwhile',
    needs: 'stored',
    run: (req) => {
      delete req.sessionStore.sessions[KNOWN]
      req.session.n = 2
    }
  },
  changedRead: {
    code: 'req.session.n, m = 2 elsewhere meanwhile',
    needs: 'stored',
    run: (req) => { req.sessionStore.change(KNOWN, { m: 2 }) }
  },
  changedModify: {
    code: 'n = 2, m = 2 elsewhere meanwhile',
    needs: 'stored',
    run: (req) => {
      req.sessionStore.change(KNOWN, { m: 2 })
      req.session.n = 2
    }
  }
}

const signed = (sid, secret) => encodeURIComponent('s:' + signature.sign(sid, secret))

// Who comes: the cookie that is sent, and whether the store has the session.
const visitors = {
  new: { stored: false },
  unknown: { stored: false, cookie: signed('unknown', SECRETS[0]) },
  existing: { stored: true, cookie: signed(KNOWN, SECRETS[0]) },
  oldSecret: { stored: true, cookie: signed(KNOWN, SECRETS[1]) }
}

const both = [false, true]
const settings = both.flatMap((resave) => both.flatMap((rolling) => both.flatMap((saveUninitialized) =>
  both.map((maxAge) => ({ resave, rolling, saveUninitialized, maxAge })))))

const sidOf = (value) => signature.unsign(decodeURIComponent(value).slice(2), SECRETS[0])

function cookieOf (line) {
  if (line === undefined) return 'none'
  return sidOf(line.split(';')[0].split('=')[1]) === KNOWN ? 'same' : 'new'
}

function dataOf (text) {
  const { cookie, ...data } = JSON.parse(text)
  return data
}

async function observe (visitor, action, { resave, rolling, saveUninitialized, maxAge }) {
  const life = maxAge ? MINUTE : null
  const store = new Recorder()
  if (visitor.stored) {
    const expires = maxAge ? new Date(Date.now() + MINUTE) : null
    const secure = action.secure ? { secure: true } : {}
    const cookie = { originalMaxAge: life, expires, ...secure, httpOnly: true, path: '/' }
    store.sessions[KNOWN] = JSON.stringify({ cookie, n: 1, m: 1 })
  }
  const app = express()
  app.use(session({
    secret: SECRETS,
    store,
    resave,
    rolling,
    saveUninitialized,
    unset: action.unset,
    proxy: action.secure,
    cookie: { maxAge: life, secure: action.secure }
  }))
  app.get('/', async (req, res) => {
    await action.run(req, res)
    res.end('the end')
  })
  const server = http.createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const headers = { connection: 'close' }
  if (visitor.cookie) headers.cookie = `connect.sid=${visitor.cookie}`
  if (action.secure) headers['x-forwarded-proto'] = 'http'
  const [response] = await once(http.get({ port: server.address().port, host: '127.0.0.1', headers }), 'response')
  await response.toArray()
  server.close()
  return {
    status: response.statusCode,
    calls: store.calls,
    cookie: cookieOf(response.headers['set-cookie']?.[0]),
    records: Object.values(store.sessions).map(dataOf)
  }
}

async function matrix () {
  const cells = []
  for (const [visitor, who] of Object.entries(visitors)) {
    for (const [action, what] of Object.entries(actions)) {
      if (what.needs === 'stored' && !who.stored) continue
      for (const options of settings) {
        cells.push({ visitor, action, options, outcome: await observe(who, what, options) })
      }
    }
  }
  const code = Object.fromEntries(Object.entries(actions).map(([name, { code }]) => [name, code]))
  return { version, code, cells }
}

const text = matrix().then(JSON.stringify)
http.createServer(async (req, res) => res.end(await text)).listen(Number(process.env.PORT), '127.0.0.1')
