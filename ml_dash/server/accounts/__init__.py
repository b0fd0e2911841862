"""Who may do what: tokens, grants, device logins and the sessions of browsers."""
