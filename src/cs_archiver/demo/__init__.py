"""An example NAS and a hands-off run of the whole product against the sandbox."""
