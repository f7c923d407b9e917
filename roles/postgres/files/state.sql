-- What the role compares with what it wants: roles, databases and the parameters that only a restart changes; and who
-- the cluster is.
-- configured: written by Patroni; what initdb wrote stands in postgresql.base.conf.
-- One line of JSON; plugin_utils/postgres_accounts.py and postgres_settings.py read it.
SELECT json_build_object(
  'identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'roles', (SELECT json_object_agg(rolname, json_build_object(
      'login', rolcanlogin,
      'password', rolpassword,
      'connection_limit', rolconnlimit,
      'settings', coalesce((SELECT to_json(setconfig) FROM pg_db_role_setting
                            WHERE setrole = role.oid AND setdatabase = 0), '[]'),
      'member_of', coalesce((SELECT json_agg(pg_get_userbyid(roleid) ORDER BY roleid) FROM pg_auth_members
                             WHERE member = role.oid AND inherit_option AND set_option), '[]')))
    FROM pg_authid AS role WHERE rolname !~ '^pg_'),
  'databases', (SELECT json_object_agg(datname, json_build_object(
      'owner', pg_get_userbyid(datdba),
      'connect', coalesce((SELECT json_agg(CASE grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(grantee) END)
                           FROM aclexplode(coalesce(datacl, acldefault('d', datdba)))
                           WHERE privilege_type = 'CONNECT'), '[]')))
    FROM pg_database),
  'lookup', (SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure('public.pooler_lookup(text)')),
  'settings', (SELECT json_object_agg(name, json_build_object(
      'value', setting, 'configured', coalesce(sourcefile LIKE '%/postgresql.conf', false)))
    FROM pg_settings WHERE context = 'postmaster'))
