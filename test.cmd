@echo off
rem Builds, then runs all tests, on Windows. Arguments go to dotnet test, for example: test --filter Allocation
setlocal
set results=%~dp0artifacts\test-results
where dotnet >nul 2>nul || (echo test: no dotnet on the PATH; install the .NET SDK 10 ^(https://dot.net/download^) 1>&2 & exit /b 2)
dotnet build "%~dp0Imta.MetaWeight.sln" --configuration Release --nologo -nodeReuse:false -v quiet 1>&2 || exit /b 1
if exist "%results%" rmdir /s /q "%results%"
dotnet test "%~dp0Imta.MetaWeight.sln" --configuration Release --no-build --nologo -nodeReuse:false --logger "console;verbosity=minimal" --logger trx --results-directory "%results%" %*
dotnet "%~dp0Tests\bin\Release\net10.0\Imta.MetaWeight.Tests.dll" summary "%results%" %ERRORLEVEL%
