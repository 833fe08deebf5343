'use strict'

// Express with everything that keeps something in a session: data, connect-flash, passport. The axum side answers the
// same routes. STORE says where the sessions are, OPTIONS are express-session's.

const express = require('express')
const flash = require('connect-flash')
const passport = require('passport')
const { Strategy: LocalStrategy } = require('passport-local')
const session = require('express-session')
const openStore = require('./stores')

const USERS = [{ id: 42, name: 'alice', password: 'correct horse' }]

passport.use(new LocalStrategy((username, password, done) => {
  done(null, USERS.find((user) => user.name === username && user.password === password) || false)
}))
passport.serializeUser((user, done) => done(null, user.id))
passport.deserializeUser((id, done) => done(null, USERS.find((user) => user.id === id) || false))

/** What the application itself put into the session. */
function data (session) {
  const { cookie, flash, passport, __lastAccess, __sessile, ...rest } = session
  return rest
}

/** Requests that wait to be let on: name → { arrived, open }, each a promise with its resolve. */
const gates = new Map()
function gate (name) {
  if (!gates.has(name)) gates.set(name, { arrived: deferred(), open: deferred() })
  return gates.get(name)
}
function deferred () {
  const it = {}
  it.promise = new Promise((resolve) => { it.resolve = resolve })
  return it
}

async function main () {
  const { withoutTouch, ...options } = JSON.parse(process.env.OPTIONS)
  const store = await openStore(JSON.parse(process.env.STORE))
  if (withoutTouch) store.touch = undefined
  const app = express()
  app.use(express.json({ strict: false }))

  // No session here.
  app.get('/gate/:name/arrived', async (req, res) => {
    await gate(req.params.name).arrived.promise
    res.json({})
  })
  app.post('/gate/:name/open', (req, res) => {
    gate(req.params.name).open.resolve()
    res.json({})
  })

  app.use(session({ ...options, store }))
  app.use(flash())
  app.use(passport.session())

  app.get('/session', (req, res) => {
    res.json({ id: req.sessionID, user: req.user ? req.user.name : null, data: data(req.session) })
  })
  app.post('/login', passport.authenticate('local', { keepSessionInfo: true }), (req, res) => {
    res.json({ id: req.sessionID })
  })
  app.post('/logout', (req, res, next) => {
    req.logout({}, (error) => (error ? next(error) : res.json({ id: req.sessionID })))
  })
  app.post('/destroy', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({})))
  })
  app.post('/regenerate', (req, res, next) => {
    req.session.regenerate((error) => (error ? next(error) : res.json({ id: req.sessionID })))
  })
  // express-session has no call for it.
  app.post('/cycle', (req, res, next) => {
    const { cookie, ...kept } = req.session
    req.session.regenerate((error) => {
      if (error) return next(error)
      Object.assign(req.session, kept)
      res.json({ id: req.sessionID })
    })
  })

  app.put('/data/:key', (req, res) => {
    req.session[req.params.key] = req.body
    res.json({})
  })
  app.delete('/data/:key', (req, res) => {
    delete req.session[req.params.key]
    res.json({})
  })
  app.post('/count/:key', (req, res) => {
    req.session[req.params.key] = (req.session[req.params.key] || 0) + 1
    res.json(req.session[req.params.key])
  })
  app.put('/slow/:key/:gate', async (req, res) => {
    const { arrived, open } = gate(req.params.gate)
    arrived.resolve()
    await open.promise
    req.session[req.params.key] = req.body
    res.json({})
  })

  app.post('/flash/:kind', (req, res) => {
    req.flash(req.params.kind, req.body)
    res.json({})
  })
  app.get('/flash/:kind', (req, res) => res.json(req.flash(req.params.kind)))

  // express-session does not notice a change of the cookie alone, so something of the data changes with it.
  app.put('/max-age', (req, res) => {
    req.session.cookie.maxAge = req.body
    req.session.remembered = req.body
    res.json({})
  })
  app.post('/touch', (req, res) => {
    req.session.touch()
    res.json({})
  })

  app.use((error, req, res, next) => {
    console.error(error)
    if (!res.headersSent) res.status(500).json({ error: String(error) })
  })
  app.listen(Number(process.env.PORT), '127.0.0.1')
}

main()
