"""How credentials reach a wallet and are shown from it: what staff credentials need of OpenID4VCI 1.0 and OpenID4VP 1.0."""
