@echo off
rem The imta command line on Windows: builds what changed, then runs the program.
setlocal
where dotnet >nul 2>nul || (echo imta: no dotnet on the PATH; install the .NET SDK 10 ^(https://dot.net/download^) 1>&2 & exit /b 2)
rem A shell that completes a line is answered at once, by the last build.
set "first=%~1 "
if "%first:~0,9%"=="[suggest:" goto run
dotnet build "%~dp0Experiments\Experiments.csproj" --configuration Release --nologo -nodeReuse:false -v quiet 1>&2 || exit /b 1
:run
set "IMTA_CALLED_AS=%~0"
dotnet "%~dp0Experiments\bin\Release\net10.0\imta.dll" %*
